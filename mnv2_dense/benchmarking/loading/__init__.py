"""Files to samples of training, on one core, beside other pipelines."""
