"""The pages as a person uses them."""

import base64
import contextlib
import json
import time

APPLIED = "Configuration changes applied."
FILE = "data => {{ const file = new DataTransfer(); file.items.add(new File([data], {name!r})); return file; }}"


@contextlib.contextmanager
def unharmed(page):
    """Check at the end that the page had no errors, and that no value ran as a script."""
    yield
    assert not page.errors
    assert page.evaluate("typeof pwned") == "undefined"


class Form:
    """The configuration page in a browser's tab."""

    LOADED = "#view .cbi-map > h2"

    def __init__(self, page, gateway):
        self.page, self.url = page, gateway.url + "/cgi-bin/luci/admin/vpn/wgembed/"

    def open(self, name="config"):
        self.page.goto(self.url + name)
        self.page.wait_for_selector(self.LOADED)

    def section(self, title):
        return self.page.locator(".cbi-section", has=self.page.locator(f"h3:text-is({title!r})"))

    def row(self, title, text):
        """That of the peer of this description, or of the section of this name."""
        rows = self.section(title).locator("tr[data-sid]")
        peers = rows.filter(has=self.page.locator("td[data-name=_who]", has_text=text))
        return peers.or_(self.section(title).locator(f"tr[data-sid={json.dumps(text)}]"))

    def edit(self, title, text):
        self.row(title, text).locator("button:text-is('Edit')").click()
        self.page.wait_for_selector(".modal .cbi-map")
        time.sleep(0.3)  # it slides in

    def add_interface(self, name):
        self.page.fill(".cbi-section-create-name", name)
        self.page.keyboard.press("Tab")
        self.page.click("button:text-is('Add interface')")
        self.page.wait_for_selector(".modal .wgembed-public-key")

    def add_peer(self, interface):
        self.section(f"Peers of {interface}").locator("button:text-is('Add peer')").click()
        self.page.wait_for_selector(".modal [data-name=public_key]")

    def press(self, label):
        self.page.click(f".modal button:text-is({label!r})")

    def tab(self, title):
        self.page.click(f".modal .cbi-tabmenu a:text-is({title!r})")

    def field(self, option):
        here = f".modal [data-name={option}]"
        return self.page.locator(f"{here} input:not([type=hidden]), {here} select").first

    def fill(self, **options):
        for option, value in options.items():
            field = self.field(option)
            for word in [value] if isinstance(value, str) else value:
                field.fill(word)
                field.press("Enter" if isinstance(value, list) else "Tab")

    def complaint(self, option):
        """The sentence at a field, "" if it is taken."""
        field = self.page.locator(f".modal [data-name={option}] .cbi-input-invalid").first
        return field.get_attribute("data-tooltip") if field.count() else ""

    def save(self):
        """The dialog, into the changes that are not applied yet."""
        self.press("Save")
        self.gone()

    def gone(self):
        self.page.wait_for_selector("body:not(.modal-overlay-active)")

    def apply(self):
        self.page.click(".cbi-page-actions .cbi-button-apply")
        self.page.wait_for_selector(f"text={APPLIED}")
        # It loads itself again.
        self.page.wait_for_selector(f"text={APPLIED}", state="detached")
        self.page.wait_for_selector(self.LOADED)

    def drop(self, name, text):
        """A file, from another window."""
        data = self.page.evaluate_handle(FILE.format(name=name), text)
        self.page.dispatch_event(".modal textarea", "drop", {"dataTransfer": data})
        self.page.wait_for_function("document.querySelector('.modal textarea').value != ''")

    # The status page

    def state(self, key):
        return self.page.locator(f"[data-peer='{key}'] [data-state]").get_attribute("data-state")

    def wait_for_state(self, key, state, within=20):
        self.page.wait_for_selector(f"[data-peer='{key}'] [data-state='{state}']", timeout=within * 1000)

    def sentences(self, key):
        return self.page.locator(f"[data-why='{key}'] li").all_inner_texts()


def encode(raw):
    return base64.b64encode(raw).decode()
