"""The pages of `repose app` in Chromium, for their tests; see tests/browsers.py."""

import base64

from app_parts import photo
from browsers import SIZES, find, until
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_MOUSE, POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By


def opened(browser, address, tmp_path):
    """The page with a photo on it; looks at its end whether all was well."""
    path = tmp_path / "a.png"
    path.write_bytes(base64.b64decode(photo()["base64"]))
    browser.get(address)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"))
    find(browser, "#photo").send_keys(str(path))
    until(browser, lambda b: find(b, "#poses").is_displayed())
    yield browser
    all_was_well(browser, address)


def all_was_well(browser, address):
    """No script failed, no other host was asked, and nothing is wider than the window."""
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not [line for line in severe if "status of 400" not in line]
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked and all(name.startswith((address, "data:", "blob:")) for name in asked), asked
    # A phone's browser widens its window to what does not fit.
    assert browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]"
                                  ) <= [SIZES[browser.size][0]] * 2


def pose(browser, name="target"):
    return browser.execute_script(f"return editors.{name}.pose")


def drag(browser, joint, by, name="target"):
    """Drags a joint with mouse or finger by CSS pixels, gripping it a little beside its middle."""
    canvas = find(browser, f"#{name} canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    x, y = browser.execute_script(f"return editors.{name}.place('{joint}')")
    kind = POINTER_TOUCH if browser.size == "phone" else POINTER_MOUSE
    actions = ActionBuilder(browser, mouse=PointerInput(kind, kind))
    actions.pointer_action.move_to_location(round(x) + 4, round(y) + 3).pointer_down()
    actions.pointer_action.move_to_location(round(x) + 4 + by[0], round(y) + 3 + by[1]).pointer_up()
    actions.perform()


def tool(browser, name, box="target"):
    button = find(browser, f"#{box} [data-tool={name}]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def click(browser, selector):
    element = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()
