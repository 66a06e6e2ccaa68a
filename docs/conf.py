"""The site: `sphinx-build -W docs docs/_build/html`. It needs no network."""

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from ar_lightning import __version__  # noqa: E402

project = "ar_lightning"
author = copyright = "the ar_lightning authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tools"]
html_theme = "furo"
html_title = "ar_lightning"
html_show_sphinx = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # a test runs the notebooks

default_role = "code"  # docstrings write `code` in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures stay short; docstrings give shapes
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True

for name, page in (("chain_rule", "tutorial"), ("tables", "tutorial-tables")):  # a page must lie in this folder
    shutil.copy(DOCS.parent / "examples" / f"{name}.ipynb", DOCS / f"{page}.ipynb")
