"""Engines, which process images here or on other machines."""
