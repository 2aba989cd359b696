"""Measure the service beside plain loops over the same images."""
