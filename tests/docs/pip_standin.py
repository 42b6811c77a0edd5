"""What `pip install -e '.[test]'` does on a page, without an index: builds the project in the working directory with its
own backend, and puts what comes out into the folder that `DOCS_SITE` names. Whatever else it is asked for it refuses.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import tomllib
import zipfile
from importlib import metadata


def main() -> None:
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    extras = {f".[{extra}]": needed for extra, needed in project["optional-dependencies"].items()}
    if sys.argv[1:3] != ["install", "-e"] or sys.argv[3:] not in ([extra] for extra in extras):
        sys.exit(f"the stand-in for pip installs a project with one of its extras {sorted(extras)}, nothing else")
    for wanted in (*project["dependencies"], *extras[sys.argv[3]]):
        metadata.distribution(wanted.partition(">")[0])  # raises where it is not here
    from hatchling.build import build_editable

    with tempfile.TemporaryDirectory() as built:
        wheel = build_editable(built)
        zipfile.ZipFile(pathlib.Path(built) / wheel).extractall(os.environ["DOCS_SITE"])
    print(f"Successfully installed {project['name']}-{project['version']}")


if __name__ == "__main__":
    main()
