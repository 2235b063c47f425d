"""Chromium of a desktop's and of a phone's width, for the tests of pages."""

import base64
import os
import pathlib
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def chromium(kind, downloads):
    """Yields a browser of a kind of `SIZES` that downloads to a folder; skips where there is none."""
    driver = shutil.which("chromedriver")
    if driver is None or not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no Chromium with its driver here")
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage",
                 *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(word)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    width, height = SIZES[kind]
    if kind == "phone":
        options.add_experimental_option("mobileEmulation", {
            "deviceMetrics": {"width": width, "height": height, "pixelRatio": 2, "touch": True}})
    else:
        options.add_argument(f"--window-size={width},{height}")
    running = webdriver.Chrome(options, webdriver.ChromeService(driver))
    running.size = kind
    yield running
    running.quit()


def find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def until(browser, check, seconds=10):
    return WebDriverWait(browser, seconds, poll_frequency=0.02).until(check)


def press(browser, key):
    webdriver.ActionChains(browser).send_keys(key).perform()


def shoot(browser, name, whole=False):
    """Keeps a picture of what is seen, or of the whole page, where REPOSE_SCREENSHOTS says."""
    folder = os.environ.get("REPOSE_SCREENSHOTS")
    if not folder:
        return
    path = pathlib.Path(folder) / f"{name}-{browser.size}.png"
    if not whole:
        browser.save_screenshot(str(path))
        return
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {
        "captureBeyondViewport": True, "format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))
