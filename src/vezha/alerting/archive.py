"""An artifact of rules: one rule file, or a zip of rule files and checklists. Pure."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from vezha.alerting.limits import RULES_FILES_MAX, RULES_UNPACKED_BYTES_MAX

CHECKLIST_SUFFIX = ".md"
_SUFFIXES = (".yml", ".yaml", ".rules", CHECKLIST_SUFFIX)


def unpack(target: str, content: bytes) -> dict[str, bytes]:
    """The files of an artifact by name. Raises ValueError for what is not plainly such files."""
    name = target.rsplit("/", 1)[-1]
    if not name.endswith(".zip"):
        if not name.endswith(_SUFFIXES):
            raise ValueError(f"{name} is neither a rule file (.yml) nor a zip of such files")
        return {name: content}
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
        if len(entries) > RULES_FILES_MAX:
            raise ValueError(f"{name} has more than {RULES_FILES_MAX} files")
        if sum(e.file_size for e in entries) > RULES_UNPACKED_BYTES_MAX:
            raise ValueError(f"{name} unpacks to more than {RULES_UNPACKED_BYTES_MAX} bytes")
        files = {}
        for entry in entries:
            flat = Path(entry.filename)
            if entry.is_dir() or len(flat.parts) != 1 or flat.name.startswith("."):
                raise ValueError(f"{name} has {entry.filename!r}; only files at its top are taken")
            if not flat.name.endswith(_SUFFIXES):
                raise ValueError(f"{entry.filename} is neither a rule file nor a checklist")
            files[flat.name] = archive.read(entry)
    except zipfile.BadZipFile:
        raise ValueError(f"{name} is not a zip file") from None
    return files
