"""Our networks beside the .tflite files that they were imported from: layers, answers, scores."""
