"""Benchmarks: compare the service with plain loops over the same images."""
