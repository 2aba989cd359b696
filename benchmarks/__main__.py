"""`python -m benchmarks` measures; the command line is in `cli`."""

# child processes import this module too; what only the parent needs is imported in `cli`
if __name__ == "__main__":
    from benchmarks.cli import main

    main()
