"""Tests of the page: a package, so that their conftest is told from the one of all tests."""
