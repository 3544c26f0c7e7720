"""AiiDA's profile, computers and codes, as a user names them."""

from __future__ import annotations

import logging

from aiida import load_profile, orm
from aiida.common.exceptions import ConfigurationError, MissingConfigurationError, MultipleObjectsError, NotExistent
from aiida.manage import get_manager

from defectscout.core.errors import SettingsError
from defectscout.core.progress import Progress


def open_profile(name: str) -> str:
    """Load a profile; empty for the default one, or the one that is loaded.

    Returns:
        Its name.

    Raises:
        SettingsError: there is none, or none of that name.
    """
    # Its reports are for `verdi`; what matters here is said in the terms of a search.
    logging.getLogger("aiida").setLevel(logging.WARNING)
    loaded = get_manager().get_profile()
    if loaded is not None and name in ("", loaded.name):
        return str(loaded.name)
    try:
        return str(load_profile(name or None, allow_switch=True).name)
    except (ConfigurationError, MissingConfigurationError) as error:
        from aiida.manage.configuration import get_config

        known = get_config(create=True).profile_names
        if known:
            raise SettingsError(
                f"AiiDA's profile '{name}' cannot be loaded ({error}). There are: {', '.join(known)}. Choose one with "
                "--profile."
            ) from None
        raise SettingsError(
            "AiiDA has no profile yet. Make one with: verdi presto (SQLite and ZeroMQ, no services are needed); then "
            "set up your cluster with verdi computer setup, and the code there with verdi code create."
        ) from None


def find_code(name: str, computer: str) -> orm.AbstractCode:
    """The code `label@computer`, or `label` on the computer that is named beside it.

    Raises:
        SettingsError: there is no such computer or code, or the computer is not configured.
    """
    full = f"{name}@{computer}" if computer and "@" not in name else name
    label, _, place = full.partition("@")
    if computer and place != computer:
        raise SettingsError(f"--code {name} and --computer {computer} name two computers: leave one of them out.")
    if place:
        _check_computer(place)
    try:
        code = orm.load_code(full)
    except NotExistent:
        raise SettingsError(
            f"AiiDA knows no code '{full}'. {_codes()} Make it with: verdi code create core.code.installed --label "
            f"{label} --computer {place or 'NAME'} --filepath-executable /path/to/{label}"
        ) from None
    except MultipleObjectsError:
        raise SettingsError(f"AiiDA knows several codes '{full}'. {_codes()} Name the computer, too.") from None
    if code.computer is not None:
        _check_computer(code.computer.label)
    return code


def full_label(code: orm.AbstractCode) -> str:
    """`cp2k@cluster`; the label alone for a code that goes to any computer."""
    return f"{code.label}@{code.computer.label}" if code.computer is not None else str(code.label)


def _check_computer(label: str) -> None:
    known = [str(item.label) for item in orm.Computer.collection.all()]
    if label not in known:
        raise SettingsError(
            f"AiiDA knows no computer '{label}'. There are: {', '.join(known) or 'none'}. Set it up with: verdi "
            "computer setup"
        )
    computer = orm.load_computer(label)
    if not computer.is_configured:
        raise SettingsError(
            f"AiiDA's computer '{label}' is not configured: verdi computer configure {computer.transport_type} {label}"
        )


def _codes() -> str:
    kinds = (orm.InstalledCode, orm.PortableCode, orm.ContainerizedCode)
    found = orm.QueryBuilder().append(kinds, project="*").all(flat=True)
    names = sorted({full_label(code) for code in found})
    return f"There are: {', '.join(names)}." if names else "There are none yet."


def check_daemon(progress: Progress) -> None:
    """Check that something will run what is submitted.

    Raises:
        SettingsError: the profile has no broker, or one that lives in the daemon, which does not run.
    """
    profile = get_manager().get_profile()
    backend = profile.process_control_backend if profile is not None else None
    if not backend:
        raise SettingsError(
            f"AiiDA's profile '{profile.name if profile else ''}' has no message broker, so that nothing can be "
            "submitted. Give it one with: verdi profile configure-broker core.zeromq"
        )
    if is_daemon_running():
        return
    if backend == "core.zeromq":
        raise SettingsError("AiiDA's daemon is not running, and takes no work until it does: verdi daemon start")
    progress.warn("AiiDA's daemon is not running: nothing begins until you start it with: verdi daemon start")


def is_daemon_running() -> bool:
    """Whether AiiDA's daemon runs for the profile that is loaded.

    AiiDA itself only looks whether the daemon has left the file with its process id, which it does when it is killed.
    """
    import psutil
    from aiida.engine.daemon.client import get_daemon_client

    number = get_daemon_client().get_daemon_pid()
    if number is None:
        return False
    try:
        words = psutil.Process(number).cmdline()
    except psutil.Error:
        return False
    return any("circus" in word for word in words)  # and no other process that has its number now
