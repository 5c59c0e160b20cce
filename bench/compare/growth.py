"""How the cost of a window grows, one thing at a time: with W, dim, classes and accounts."""
import dataclasses

PANELS = ("window", "dim", "classes", "accounts")


@dataclasses.dataclass
class Plan:
    base: dict  # the shape that each panel changes one thing of
    window: tuple
    dim: tuple
    classes: tuple
    classes_window: int  # rows of a window in that panel, so that many classes can be in one
    accounts: tuple
    sqrtm_dim_most: int  # scipy is measured up to here
    whole_dim_most: int  # up to here all classes of a window, above one of them, scaled up


FULL = Plan(
    base={"dim": 128, "classes": 10, "window": 16},
    window=(4, 16, 64, 256),
    dim=(64, 128, 256, 512, 1024),
    classes=(1, 4, 10, 32, 100),
    classes_window=64,
    accounts=(100, 1000, 10000, 100000),
    sqrtm_dim_most=256,
    whole_dim_most=512,
)
QUICK = Plan(
    base={"dim": 32, "classes": 10, "window": 16},
    window=(4, 16),
    dim=(32, 64),
    classes=(2, 10),
    classes_window=16,
    accounts=(100, 1000),
    sqrtm_dim_most=32,
    whole_dim_most=64,
)


def shapes(plan, panel):
    for value in getattr(plan, panel):
        shape = {**plan.base, panel: value}
        if panel == "classes":
            shape["window"] = plan.classes_window
        shape.pop("accounts", None)
        yield value, shape


def measure_point(plan, rows, panel, value, sides):
    """Microseconds a window of all three; None where one is not measured."""
    dim = rows.statistics.dim
    accounts = value if panel == "accounts" else None
    said = sides.adder.measure(rows, sides.adder_threads, accounts)
    point = {"at": value, "adder": 1e6 / said["windows_per_s"], "paper": None, "sqrtm": None}
    if panel == "accounts":
        return point  # the other ways know of no accounts
    sides.paper.load(rows)
    point["paper"] = 1e6 * sides.paper.measure(1 if dim > plan.whole_dim_most else None)["seconds"]
    if dim <= plan.sqrtm_dim_most:
        sides.sqrtm.load(rows)
        point["sqrtm"] = 1e6 * sides.sqrtm.measure()["seconds"]
    return point


@dataclasses.dataclass
class Sides:
    adder: object
    adder_threads: int
    paper: object
    sqrtm: object


def measure(plan, make_rows, sides, show):
    """{panel: [point]}; make_rows(dim, classes, window) gives the windows."""
    grown = {}
    for panel in PANELS:
        grown[panel] = []
        for value, shape in shapes(plan, panel):
            show(f"growth with {panel}: {value}")
            point = measure_point(plan, make_rows(**shape), panel, value, sides)
            grown[panel].append(point)
    base = next(p for p in grown["window"] if p["at"] == plan.base["window"])
    for point in grown["accounts"]:
        point["paper"], point["sqrtm"] = base["paper"], base["sqrtm"]
    return grown
