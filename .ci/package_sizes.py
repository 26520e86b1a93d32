"""Prints the size of each function's package, zipped as `sam deploy` does it; fails above the limit that is kept."""

import io
import pathlib
import sys
import zipfile

LIMIT = 6 * 1024 * 1024

sizes = {}
for bootstrap in sorted(pathlib.Path(sys.argv[1]).glob("*/bootstrap")):
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(bootstrap, "bootstrap")
    sizes[bootstrap.parent.name] = package.tell()
    print(f"{bootstrap.parent.name}: {bootstrap.stat().st_size} bytes, {package.tell()} zipped")
if not sizes or max(sizes.values()) > LIMIT:
    sys.exit(f"expected packages of at most {LIMIT} bytes")
