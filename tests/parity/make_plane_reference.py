"""References for the two-dimensional picture of the report, from scikit-learn's PCA. Writes tests/data/selection/plane.json."""
import json
import pathlib

import numpy as np
from sklearn.decomposition import PCA

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "selection" / "plane.json"


def case(rows):
    rows = np.asarray(rows, np.float32)
    pca = PCA(n_components=2, svd_solver="full").fit(rows.astype(np.float64))
    signs = np.sign(pca.components_[[0, 1], np.abs(pca.components_).argmax(axis=1)])
    points = pca.transform(rows.astype(np.float64)) * signs
    return {"rows": rows.astype(float).round(6).tolist(), "points": points.round(9).tolist(),
            "share": pca.explained_variance_ratio_.tolist()}


def main():
    rng = np.random.default_rng(3)
    tall = np.round(rng.normal(size=(40, 5)) * [3, 1, 2, 0.3, 0.1] + 7, 3)
    wide = np.round(rng.normal(size=(6, 24)), 3)
    unit = rng.normal(size=(30, 8)) + 2
    unit = np.round(unit / np.linalg.norm(unit, axis=1, keepdims=True), 4)
    OUT.write_text(json.dumps([case(tall), case(wide), case(unit)]), encoding="utf-8")


if __name__ == "__main__":
    main()
