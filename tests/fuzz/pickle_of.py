"""Prints the pickle inside a file of torch.save."""

import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as archive:
    name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
    sys.stdout.buffer.write(archive.read(name))
