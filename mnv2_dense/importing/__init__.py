"""Trained weights of other programs, read and renamed: TensorFlow, TFLite and torchvision."""
