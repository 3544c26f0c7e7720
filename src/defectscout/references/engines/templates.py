"""Job scripts made of a template of the user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import SettingsError
from defectscout.core.files import write_atomically

PLACEHOLDERS = ("name", "defect", "structure")
"""What a template may ask for, in braces."""

# Not `${VAR}`, which is the shell's, and not `{a,b}`, `{ list; }` or `{1..3}`.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_]\w*)\}")
_NOT_IN_A_JOB_NAME = re.compile(r"[^\w.+-]")


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """A job script with places to fill in.

    Attributes:
        file_name: name of the scripts that are made of it.
        text: the template.
    """

    file_name: str
    text: str

    def script(self, defect: str, structure: str) -> str:
        """The script of one calculation.

        Args:
            defect: `{defect}`, such as `v_Cd_0`.
            structure: `{structure}`, the folder's name, such as `Bond_Distortion_-60.0%`. `{name}` is both with
                nothing in it that a queue expands: `v_Cd_0_Bond_Distortion_-60.0`.
        """
        values = {"name": job_name(defect, structure), "defect": defect, "structure": structure}
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)


def job_name(defect: str, structure: str) -> str:
    """Name of a job: letters, digits and `_.+-` only; a `%` would be expanded by SLURM in names of output files."""
    return _NOT_IN_A_JOB_NAME.sub("", f"{defect}_{structure}")


def read_template(path: Path) -> JobTemplate:
    """Read and check a template.

    Only `{name}`, `{defect}` and `{structure}` are replaced in it. What is the shell's stays as it is: `${VAR}`,
    `{a,b}`, `{ list; }`.

    Raises:
        SettingsError: there is no such file, it is no text, or it asks for something else in braces.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SettingsError(
            f"The job script template {path} cannot be read: {reason}. Give a text file with --job, such as the "
            "script that you start one calculation with."
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        for match in _PLACEHOLDER.finditer(line):
            if match[1] not in PLACEHOLDERS:
                raise SettingsError(
                    f"The job script template {path} asks for {match[0]} in line {number}, which is not known. Known "
                    f"are {', '.join(f'{{{known}}}' for known in PLACEHOLDERS)}. Braces that are not for defectscout "
                    f"need a blank, as in {{ {match[1]} }}, or a dollar, as in ${{{match[1]}}}."
                )
    return JobTemplate(path.name, text)


def write_job(folder: Path, template: JobTemplate, defect: str, structure: str) -> Path:
    """Write the script of one calculation into its folder, executable."""
    path = folder / template.file_name
    write_atomically(path, template.script(defect, structure))
    path.chmod(path.stat().st_mode | 0o111)
    return path
