"""A picture of representations in two dimensions, coloured by class.

van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 2008. Neighbours in the picture are neighbours among the
representations; distances between groups, and the axes, mean nothing.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ar_lightning.core.files import written
from ar_lightning.media.plots import evenly, plain_text

__all__ = ["embed", "embedding_png"]

POINTS = 2000  # shown at most
COMPONENTS = 50  # principal components that t-SNE reads at most, as in its paper (30)
FEWEST = 20  # examples that t-SNE makes sense for; fewer are shown by their principal components
NAMED = 20  # classes that have a colour and a name of their own


def embed(x: np.ndarray) -> tuple[np.ndarray, str]:
    """Return places `(N, 2)` of standardised features `(N, F)`, always the same, and the name of the method."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    x = StandardScaler().fit_transform(x.astype(np.float64))
    k = min(COMPONENTS, *x.shape)
    main = PCA(k, svd_solver="randomized" if k < min(x.shape) else "full", random_state=0).fit_transform(x)
    if len(x) < FEWEST or k < 3:
        return np.pad(main[:, :2], ((0, 0), (0, max(0, 2 - k)))), "PCA"
    perplexity = min(30.0, (len(x) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(main), "t-SNE"


@plain_text()
def embedding_png(
    panels: dict[str, np.ndarray], labels: np.ndarray | None, path: Path, title: str,
    name_of: Callable[[int], object] = int,
) -> None:  # fmt: skip
    """Write embeddings of kinds of features `(N, F)` of the same examples side by side, coloured by classes `(N,)`."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    n = len(next(iter(panels.values())))
    rows = evenly(n, POINTS)
    classes = np.array([]) if labels is None else np.unique(labels[rows])
    figure = Figure(figsize=(5 * len(panels) + 1, 5.2), layout="constrained")
    size = 60 if n < 100 else 16 if n < 1000 else 7
    for place, (kind, features) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), place)
        places, method = embed(features[rows])
        x, y = places.T
        axes.set_title(f"{kind} ({method})", fontsize=10)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        if labels is None:
            axes.scatter(x, y, color="tab:blue", alpha=0.6, s=size, linewidths=0)
        elif len(classes) <= NAMED:
            palette = colormaps["tab10" if len(classes) <= 10 else "tab20"]
            for k, label in enumerate(classes):
                here = labels[rows] == label
                axes.scatter(
                    x[here], y[here], color=palette(k), alpha=0.8, label=str(name_of(label)), s=size, linewidths=0
                )
        else:
            drawn = axes.scatter(x, y, c=labels[rows], cmap="turbo", alpha=0.8, s=size, linewidths=0)
            if place == len(panels):
                figure.colorbar(drawn, ax=axes, label="class")
    if 0 < len(classes) <= NAMED:
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, title="class", loc="outside right upper", frameon=False, markerscale=1.5)
    shown = f"{len(rows)} of {n}" if len(rows) < n else str(n)
    figure.suptitle(f"{title}: {shown} examples", fontsize=11)
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
