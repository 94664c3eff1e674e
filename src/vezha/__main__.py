"""`python -m vezha` is the `vezha` command."""

from vezha.cli.app import main

main()
