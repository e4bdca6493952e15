"""Prediction: networks of ours with every engine, beside their peers."""
