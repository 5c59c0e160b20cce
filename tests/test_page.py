"""The page at `/` of a real daemon in a headless Chromium: it shows what the API says, and account
names do nothing but be read.

    python3 tests/test_page.py --adderd PATH --adder PATH --data tests/data/d64 --out FOLDER

Waits for conditions, never for time. The daemon, the driver and the browser are this program's own.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

PATIENCE_S = 60
TOKEN = "open-sesame"
# What is sent, and what is read: characters that cannot be seen by their numbers.
NAMES = [
    ("<script>document.title='owned'</script>",) * 2,
    ("<img src=x onerror=document.title='owned'>",) * 2,
    ('"><svg onload=alert(1)>',) * 2,
    ("javascript:alert(1)",) * 2,
    ("</td></table><iframe src=//evil.example>",) * 2,
    ("\u202egnp.exe", "U+202Egnp.exe"),
    ("tab\there\x1b[2J", "tabU+0009hereU+001B[2J"),
    ("x" * 128,) * 2,
    ("\U0001f600 smile",) * 2,
    ("%00%3Cb%3E&amp;",) * 2,
    ("a\\b\"c'd`e${f}",) * 2,
    (" space at the ends ", "U+0020space at the endsU+0020"),
    ("#account=other&model=x",) * 2,
]
options = None


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)  # between two looks
    raise AssertionError(f"never came: {what}")


class Daemon:
    def __init__(self, folder, *flags, serves=None):
        serves = serves or ["--reference", f"{folder}/reference"]
        self.folder, self.url = folder, f"ipc://{folder}/socket"
        self.log = open(f"{folder}/log", "w+")
        self.process = subprocess.Popen(
            [options.adderd, *serves, "--listen", self.url, "--admin", "0", "--threads",
             "1", "--engine", "cpu", *flags], stderr=self.log)
        port = wait_for("the admin port", self.find_port)
        self.origin = f"http://127.0.0.1:{port}"
        subprocess.run([options.adder, "ping", "--connect", self.url], check=True,
                       stdout=subprocess.DEVNULL)

    def find_port(self):
        with open(f"{self.folder}/log") as file:
            log = file.read()
        assert self.process.poll() is None, log
        found = re.search(r"admin port at http://127\.0\.0\.1:(\d+)\D", log)
        return found and found[1]

    def replay(self, name, source, rows):
        files = f"{options.data}/src/{source}"
        subprocess.run([options.adder, "replay", "--connect", self.url, f"--account={name}",
                        "--embeddings", f"{files}.emb.f16.npy", "--classes", f"{files}.pred.u8.npy",
                        "--rows", rows], check=True, stdout=subprocess.DEVNULL)

    def api(self, path, token=None):
        request = urllib.request.Request(f"{self.origin}/api/{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return json.load(opener.open(request, timeout=PATIENCE_S))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE_S)
        self.log.close()
        return status


def browser(folder):
    chosen = Options()
    for flag in ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1280,900",
                 f"--user-data-dir={tempfile.mkdtemp(dir=folder)}"]:
        chosen.add_argument(flag)
    chosen.binary_location = options.chromium
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(options.chromedriver), options=chosen)
    driver.set_page_load_timeout(PATIENCE_S)
    driver.set_script_timeout(PATIENCE_S)
    return driver


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory(prefix="adder-page-")
        cls.folder = cls.home.name
        run = lambda *arguments: subprocess.run([options.adder, *arguments], check=True,
                                                stdout=subprocess.DEVNULL)
        run("fit", "--mean", f"{options.data}/ref_mean.f32.npy", "--covariance",
            f"{options.data}/ref_cov.f32.npy", "--out", f"{cls.folder}/reference", "--model",
            "resnet56-cifar10")
        run("calibrate", "--reference", f"{cls.folder}/reference", "--embeddings",
            f"{options.data}/src/benign_test.emb.f16.npy", "--classes",
            f"{options.data}/src/benign_test.pred.u8.npy", "--rows", "0::2", "--window", "16",
            "--windows", "20000", "--accounts", "400", "--queries", "1000")

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    def setUp(self):
        self.driver = browser(self.folder)
        self.addCleanup(self.driver.quit)
        self.network = []

    def start(self, *flags):
        daemon = Daemon(self.folder, *flags)
        self.addCleanup(daemon.stop)
        return daemon

    def text(self, name):
        return self.driver.execute_script(
            "return document.getElementById(arguments[0]).textContent", name)

    def number(self, name):
        text = self.text(name).replace(",", "")
        return int(text) if text.isdigit() else None

    def wait_text(self, name, expected):
        wait_for(f"{name}: {expected}", lambda: expected in self.text(name))

    def names_shown(self):
        return self.driver.execute_script(
            "return [...document.querySelectorAll('#accounts-body td.name bdi')].map(n => n.textContent)")

    def expect_quiet(self, origin, allowed=()):
        """No script error, no refusal of the content policy, no request to elsewhere."""
        lines = [l["message"] for l in self.driver.get_log("browser")]
        self.assertEqual([l for l in lines if not any(a in l for a in allowed)], [])
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.network.append(message["params"]["request"]["url"])
        for url in self.network:
            self.assertTrue(url.startswith((origin + "/", "data:", "chrome:", "about:")), url)
        self.assertTrue(any("/api/live" in url for url in self.network))
        self.assertEqual(self.driver.title, "Adder")

    def test_a_link_is_about_its_own_model_whichever_is_shown(self):
        with open(f"{self.folder}/two.yaml", "w") as file:
            file.write(f"models:\n  - reference: {self.folder}/reference\n"
                       f"  - reference: {self.folder}/other\n")
        subprocess.run([options.adder, "fit", "--mean", f"{options.data}/ref_mean.f32.npy",
                        "--covariance", f"{options.data}/ref_cov.f32.npy", "--model", "other",
                        "--out", f"{self.folder}/other"], check=True, stdout=subprocess.DEVNULL)
        daemon = Daemon(self.folder, serves=["--config", f"{self.folder}/two.yaml"])
        self.addCleanup(daemon.stop)
        shown = "return document.getElementById('model').value"
        self.driver.get(daemon.origin + "/#account=nobody&model=other")
        wait_for("the link's model", lambda: self.driver.execute_script(shown) == "other")
        self.driver.execute_script("location.hash = '#account=nobody&model=resnet56-cifar10'")
        wait_for("the other link's", lambda: self.driver.execute_script(shown) == "resnet56-cifar10")
        self.driver.execute_script("history.back()")
        wait_for("the first again", lambda: self.driver.execute_script(shown) == "other")
        self.wait_text("detail-empty", "no such account")

    def test_names_are_text_and_numbers_are_the_apis(self):
        daemon = self.start()
        for i, (name, _) in enumerate(NAMES):
            daemon.replay(name, "atk_tinyimagenet" if i % 2 else "benign_test", f"{i}:{i + 64}")
        self.driver.get(daemon.origin + "/")
        wait_for("all names", lambda: len(self.names_shown()) == len(NAMES))
        self.assertCountEqual(self.names_shown(), [shown for _, shown in NAMES])
        self.assertEqual(self.driver.execute_script(
            "return document.querySelectorAll('main script, main img, main iframe, main svg[onload]').length"), 0)
        self.wait_text("state", "ready")
        live, info, accounts = daemon.api("live"), daemon.api("info"), daemon.api("accounts?limit=25")
        wait_for("rows", lambda: self.number("total-rows") == live["rows"] == 64 * len(NAMES))
        self.assertEqual(self.number("total-requests"), sum(live["requests"].values()))
        self.assertEqual(self.number("total-refused"), 0)
        self.assertEqual(self.number("flagged"), accounts["flagged"])
        self.assertGreater(accounts["flagged"], 0)
        self.assertEqual(self.number("accounts"), accounts["accounts"])
        self.assertEqual(self.number("accounts-max"), info["limits"]["accounts"])
        self.assertEqual(self.text("model-name"), "resnet56-cifar10")
        decisions = self.driver.execute_script(
            "return [...document.querySelectorAll('#decisions-body tr')].map(r => [r.cells[0].textContent, r.cells[2].textContent])")
        self.assertEqual({k.replace(" ", "_"): int(v.replace(",", "")) for k, v in decisions},
                         live["decisions"])
        cells = self.driver.execute_script(
            "return [...document.querySelectorAll('#accounts-body tr')].map(r => [...r.cells].slice(2).map(c => c.textContent))")
        shown = dict(NAMES)
        order = dict(zip(self.names_shown(), cells))
        for account in accounts["riskiest"]:
            level, score, _, queries = order[shown[account["name"]]]
            self.assertAlmostEqual(float(level), account["level"], delta=0.00501)
            self.assertAlmostEqual(float(score), account["score"], delta=0.00501)
            self.assertEqual(int(queries), account["queries"])
        self.expect_quiet(daemon.origin)

    def test_a_click_tells_why(self):
        daemon = self.start()
        hostile = NAMES[1][0]
        daemon.replay(hostile, "atk_cifar100", "0:320")
        daemon.replay("honest", "benign_test", "1:64:2")
        self.driver.get(daemon.origin + "/")
        wait_for("both names", lambda: len(self.names_shown()) == 2)
        self.driver.find_element(By.CSS_SELECTOR, "#accounts-body tr").click()
        self.wait_text("detail-facts", "flagged")
        self.assertEqual(self.text("detail-name"), hostile)
        told = daemon.api("explain?account=" + urllib.parse.quote(hostile, safe=""))
        classes = self.driver.execute_script(
            "return [...document.querySelectorAll('#classes-body tr')].map(r => [+r.cells[0].textContent, +r.cells[1].textContent])")
        self.assertEqual(classes, [[c["class"], c["rows"]] for c in told["classes"]])
        self.assertEqual(len(self.driver.find_elements(By.CSS_SELECTOR, "#chart-history circle")),
                         len(told["history"]))
        self.driver.get("about:blank")  # and from the link alone
        self.driver.get(f"{daemon.origin}/#account={urllib.parse.quote(hostile, safe='')}")
        self.wait_text("detail-facts", "flagged")
        self.driver.execute_script("location.hash = '#account=%E0%A4%A&x'")  # no link of ours
        wait_for("nobody", lambda: self.text("detail-name") == "")
        self.driver.execute_script("location.hash = '#group=nobody'")
        self.wait_text("detail-empty", "no such group")
        self.expect_quiet(daemon.origin, allowed=("404",))

    def test_by_a_threshold_there_are_levels_too_and_without_one_the_page_says_so(self):
        for flags, expected in [(("--threshold", "20", "--window", "8"), "of limit"), (("--window", "8"), "of limit")]:
            daemon = self.start(*flags)
            daemon.replay("mallory", "atk_noise_uniform", "0:32")
            self.driver.get(daemon.origin + "/")
            wait_for("the name", lambda: self.names_shown() == ["mallory"])
            self.assertEqual(self.text("level-head"), expected)
            empty = self.driver.find_element(By.ID, "levels-empty").is_displayed()
            self.assertEqual(empty, "--threshold" not in flags)
            self.expect_quiet(daemon.origin)
            self.network.clear()
            self.driver.get("about:blank")  # which asks no more
            self.assertEqual(daemon.stop(), 0)

    def test_the_token_is_asked_for_once_and_a_lost_daemon_is_said(self):
        path = f"{self.folder}/token"
        with open(path, "w") as file:
            file.write(TOKEN + "\n")
        os.chmod(path, 0o600)
        daemon = self.start("--admin-token-file", path)
        self.driver.get(daemon.origin + "/")
        form = self.driver.find_element(By.ID, "token-form")
        for token, words in [("wrong", "refused"), (TOKEN, "")]:
            wait_for("the form", form.is_displayed)
            self.driver.find_element(By.ID, "token").send_keys(token)
            self.driver.find_element(By.CSS_SELECTOR, "#token-form button").click()
            if words:
                wait_for(words, self.driver.find_element(By.ID, "token-refused").is_displayed)
        self.wait_text("state", "ready")
        wait_for("no form", lambda: not form.is_displayed())
        self.assertNotIn(TOKEN, self.driver.current_url)
        self.driver.refresh()
        self.wait_text("state", "ready")
        self.assertFalse(self.driver.find_element(By.ID, "token-form").is_displayed())
        self.expect_quiet(daemon.origin, allowed=("401",))
        self.assertEqual(daemon.stop(), 0)
        self.wait_text("state", "connection lost")

    def test_it_looks_as_the_screenshot_and_fits_a_telephone(self):
        daemon = self.start()
        thieves = {"atk_cifar100": "scraper-eu-3", "atk_tinyimagenet": "org/4711",
                   "atk_jbda": "key_9f2c"}
        for source, name in thieves.items():
            daemon.replay(name, source, "0:256")
        daemon.replay("<script>alert(1)</script>", "atk_cifar100", "300:364")
        daemon.replay("\u202eevil", "benign_shift", "0:64")
        self.driver.get(daemon.origin + "/#account=key_9f2c")
        self.wait_text("detail-facts", "flagged")
        samples = lambda: self.driver.execute_script("return state.samples.length")
        for i in range(300):  # a load, until there is something to draw
            first = 1 + 128 * (i % 38)
            daemon.replay(f"user-{100 + i}", "benign_test", f"{first}:{first + 128}:2")
            if samples() >= 20:
                break
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": 1280, "height": height, "deviceScaleFactor": 1, "mobile": False})
        before = samples()
        wait_for("a redraw", lambda: samples() > before + 1)
        self.driver.save_screenshot(f"{options.out}/page.png")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True})
        before = samples()
        wait_for("a redraw", lambda: samples() > before + 1)
        self.driver.save_screenshot(f"{options.out}/page-narrow.png")
        self.assertLessEqual(self.driver.execute_script("return document.documentElement.scrollWidth"), 400)
        self.expect_quiet(daemon.origin)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for flag in ["adderd", "adder", "data", "out", "chromium", "chromedriver"]:
        parser.add_argument(f"--{flag}", required=True)
    options, rest = parser.parse_known_args()
    os.makedirs(options.out, exist_ok=True)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
