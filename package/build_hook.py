"""Called by hatchling when a wheel is built: the package is written anew and put in as it is."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from rewrite import PACKAGE, write_package


class PackageHook(BuildHookInterface):
    """Puts the four folders below `tagbart`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the package into a temporary folder and name it to the builder."""
        self.folder = tempfile.TemporaryDirectory()
        package = write_package(Path(self.root), Path(self.folder.name))
        build_data["force_include"][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear the temporary folder away."""
        self.folder.cleanup()
