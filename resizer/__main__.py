"""`python -m resizer` is `resizer`."""

from resizer.cli import main

if __name__ == "__main__":
    main()
