"""One HTML page that needs no network and no other file: what all of them have in common."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from egress_conformance.report import words


def render(template: str, *, style: str = "", script: str = "", **values: object) -> str:
    """A page as text.

    Args:
        template: its name.
        style: name of a style sheet that comes after the one all pages have.
        script: name of its script; "" for none.
        values: what the template shows; all of it is escaped.
    """
    styles, code = _asset("report.css") + (_asset(style) if style else ""), _asset(script) if script else ""
    return (
        _environment()
        .get_template(template)
        .render(
            # Ours, from the package; the browser runs nothing that does not have these hashes.
            style=Markup(styles),  # noqa: S704
            script=Markup(code),  # noqa: S704
            style_hash=_csp_hash(styles),
            script_hash=_csp_hash(code),
            **values,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("egress_conformance.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "milliseconds": words.milliseconds,
        "duration": words.duration,
        "utc": words.utc,
        "value": words.value,
        "reason": words.reason,
        # A number stays on the line of what it counts.
        "unbroken": lambda text: re.sub(r"(\d) ", "\\1\N{NO-BREAK SPACE}", text),
    }
    environment.globals |= {"several": words.several}
    return environment


def _asset(name: str) -> str:
    return (files("egress_conformance.report") / "templates" / name).read_text(encoding="utf-8")


def _finalize(expression: object) -> object:
    """Applied to whatever a template puts out, before it is escaped."""
    return words.shown(expression) if type(expression) is str else expression


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
