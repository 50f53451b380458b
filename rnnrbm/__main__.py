"""``python -m rnnrbm`` is the command ``rnnrbm``."""

from rnnrbm.cli.main import main

main()
