"""`python -m benchmarks` measures; the command line is in `cli`."""

# child processes import this module too, and are to hold nothing of what only the parent needs
if __name__ == "__main__":
    from benchmarks.cli import main

    main()
