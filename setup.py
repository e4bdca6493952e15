"""What pyproject.toml cannot say: `configs/` goes into a wheel as `mnv2_dense/configs/`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path("configs")


class BuildWithConfigs(build_py):
    """Copies the configs beside the modules; an editable install reads those of the checkout."""

    def run(self) -> None:
        """Builds the package."""
        super().run()
        if not self.editable_mode:
            inside = Path(self.build_lib, "mnv2_dense", CONFIGS)
            shutil.copytree(CONFIGS, inside, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
