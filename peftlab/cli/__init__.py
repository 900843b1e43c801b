"""The command line, one file a family of commands."""

from peftlab.cli.backbones import pretrain, probe, separation
from peftlab.cli.compare import compare
from peftlab.cli.count import count
from peftlab.cli.distill import distill
from peftlab.cli.fetch import fetch
from peftlab.cli.ledger import ledger
from peftlab.cli.main import main

for _command in (compare, count, distill, fetch, ledger, pretrain, probe, separation):
    main.add_command(_command)

__all__ = ["main"]
