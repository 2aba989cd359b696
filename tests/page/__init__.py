"""Tests of the page: a package, so that its conftest does not clash with the one of all tests."""
