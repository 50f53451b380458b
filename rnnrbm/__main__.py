"""``python -m rnnrbm`` is the command ``rnnrbm``."""

from rnnrbm.cli.main import main

if __name__ == "__main__":
    main()
