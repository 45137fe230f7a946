"""``python -m service``: the same as the command ``shared-reports``."""

from service.cli.main import main

if __name__ == "__main__":
    main()
