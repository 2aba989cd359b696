"""Tests of the page; a package, to distinguish its conftest from the one of all tests."""
