"""What compare.py has measured, as a table and as a picture."""
import datetime
import os
import pathlib
import shutil
import subprocess

import growth

PICTURE = pathlib.Path(__file__).with_name("growth.gnuplot")
ERROR_GOAL = 1e-6
ERROR_RATIO_GOAL = 500
MIB = 1 << 20


NOTES = """\
ways     torch: the paper to the letter in float32, torch.linalg.eig of S_c S for each class
         present; scipy: sqrtm in float64 as FID tools do; ssyevd: LAPACK's, values only, of one
         dim x dim matrix, which alone is timed. *: one class timed, and scaled to the classes
         with two rows or more, as if the others cost nothing
run      sides take turns, medians; threads: that won (the other's windows/s); MiB: peak of the
         process beyond imports, reference and rows; Adder takes 16,384 rows a call, each window
         anew: none of its rows has been seen before; "every 16 rows": a window of each of 256
         accounts after 16 new rows of its own, as a service has them"""


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown CPU"


def commit():
    here = pathlib.Path(__file__).parent

    def git(*words):
        try:
            return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True).stdout
        except OSError:
            return ""

    name = git("rev-parse", "--short", "HEAD").strip() or "unknown"
    return name + (" and changes" if git("status", "--porcelain", "-uno").strip() else "")


def machine():
    import numpy
    import scipy
    import torch

    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "commit": commit(),
        "machine": f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at start",
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "python": ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, scipy, numpy)),
    }


def number(value):
    """Three figures, without an exponent where it can be read without."""
    if value is None:
        return "-"
    if 0.1 <= value < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1e}"


def duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"


def reached(value, goal, most=False):
    if goal is None:
        return "-"
    return "yes" if (value <= goal if most else value >= goal) else "NO"


def align(head, rows):
    """Columns as wide as they need; the first one to the left."""
    cells = [head, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join([first, *rest]).rstrip())
    return lines


def tried(side):
    """Threads that won, and what the other number did."""
    others = [f"{t}: {number(rate)}/s" for t, rate in side["tried"].items() if t != side["threads"]]
    return f"{side['threads']} ({', '.join(others) or 'only'})"


def races_table(races):
    head = ["windows of", "over", "Adder windows/s", "threads", "other, a window", "threads"]
    head += ["ratio", "goal", "reached", "MiB Adder", "MiB other"]
    rows = []
    for race in races:
        adder, other = race["adder"], race["other"]
        row = [race["name"], race["way"] + ("*" if race["scaled"] else "")]
        row += [number(adder["rate"]), tried(adder), duration(1 / other["rate"]), tried(other)]
        row += [f"{race['ratio']:,.0f}", number(race["goal"]), reached(race["ratio"], race["goal"])]
        row += [number(side["memory_bytes"] / MIB) for side in (adder, other)]
        rows.append(row)
    return align(head, rows)


def errors_table(errors):
    head = ["windows of", "way", "windows", "its error", "Adder's, windows", "Adder's error"]
    head += [f"<= {ERROR_GOAL:g}", "ratio", "goal", "reached"]
    rows = []
    for one in errors:
        goal = ERROR_RATIO_GOAL if one["way"] == "torch" else None
        row = [one["name"], one["way"] + ("*" if one["scaled"] else ""), str(one["windows"])]
        row += [f"{one['other']:.1e}", str(one["adder_windows"]), f"{one['adder']:.1e}"]
        row += [reached(one["adder"], ERROR_GOAL, most=True), f"{one['ratio']:,.0f}"]
        rows.append(row + [number(goal), reached(one["ratio"], goal)])
    return align(head, rows)


def growth_table(grown):
    lines = []
    for panel in growth.PANELS:
        head = [panel, *(str(point["at"]) for point in grown[panel])]
        sides = ("adder", "paper", "sqrtm")
        rows = [[side, *(number(point[side]) for point in grown[panel])] for side in sides]
        lines += [*align(head, rows), ""]
    return lines


def base_text(plan):
    base = plan.base
    return f"dim {base['dim']}, {base['classes']} classes, W {base['window']}"


def text(results, plan):
    threads = ", ".join(f"{side} {n}" for side, n in results["growth_threads"].items())
    told = ("command", "commit", "machine", "date", "python")
    lines = [
        *(f"{key:<9}{results[key]}" for key in told),
        *NOTES.splitlines(),
        "",
        *races_table(results["races"]),
        "",
        "largest relative error of a score against float64 (of the class's d2 where *); the ratio",
        "is to Adder's largest, which is of more windows",
        *errors_table(results["errors"]),
        "",
        f"microseconds a window as one thing grows; else {base_text(plan)}, and where classes",
        f"grow W {plan.classes_window}; threads: {threads}; the other ways know of no",
        "accounts: there is what they take at that shape",
        *growth_table(results["growth"]),
        f"all of it took {results['seconds']:.0f} s",
    ]
    return "\n".join(lines) + "\n"


def write_growth(path, grown):
    blocks = []
    for panel in growth.PANELS:
        rows = [f"# {panel}: at, microseconds a window of adder, paper, sqrtm"]
        for p in grown[panel]:
            cells = [p["at"], p["adder"], p["paper"], p["sqrtm"]]
            rows.append("\t".join("-" if cell is None else f"{cell:.6g}" for cell in cells))
        blocks.append("\n".join(rows))
    path.write_text("\n\n\n".join(blocks) + "\n")


def draw(out, plan):
    """growth.svg and growth.png; False where there is no gnuplot."""
    if shutil.which("gnuplot") is None:
        return False
    for form in ("svg", "png"):
        given = f"form='{form}'; shape='{base_text(plan)}'; classes_window={plan.classes_window}"
        subprocess.run(["gnuplot", "-e", given, str(PICTURE)], check=True, cwd=out)
    return True
