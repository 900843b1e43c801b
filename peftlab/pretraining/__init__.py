"""How the bundled backbones are made, probed and described."""
