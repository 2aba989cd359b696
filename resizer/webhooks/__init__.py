"""Webhooks: signed HTTP requests that report finished work."""
