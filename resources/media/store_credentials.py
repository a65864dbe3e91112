"""Where the stores' own tools look for endpoints and credentials, as far as obstore does not look there itself."""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from brain_assets.resources.errors import SourceError

# What obstore says when nothing gave it credentials, and it asked the machine it might have been running on.
NOTHING_FOUND = re.compile(r"169\.254\.169\.254|token request|Account must be specified")
WANTED = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true where the bucket is public",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true where the bucket is public",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY",
    "minio": "set MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or AWS_SKIP_SIGNATURE=true where the bucket is public",
}
AZURE_VARIABLES = {
    "AZURE_STORAGE_ACCOUNT": "account_name", "AZURE_STORAGE_KEY": "account_key", "AZURE_STORAGE_SAS_TOKEN": "sas_key",
}  # fmt: skip
AZURE_CONNECTION = {
    "AccountName": "account_name", "AccountKey": "account_key", "SharedAccessSignature": "sas_key", "BlobEndpoint": "endpoint",
}  # fmt: skip
MINIO_VARIABLES = {"MINIO_ACCESS_KEY": "access_key_id", "MINIO_SECRET_KEY": "secret_access_key"}
AWS_PROFILE = {
    "aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token", "region": "region", "endpoint_url": "endpoint",
}  # fmt: skip


def found(scheme: str, server: str = "") -> dict[str, Any]:
    """Return settings of a store for obstore, beside those that it finds in the environment by itself.

    Parameters
    ----------
    scheme : {"s3", "gs", "az", "minio"}
    server : str
        Of MinIO, with its port.

    Raises
    ------
    SourceError
        If the profile of the AWS tools cannot be read.
    """
    return _minio(server) if scheme == "minio" else {"s3": _aws, "gs": _google, "az": _azure}[scheme]()


def hint(scheme: str, line: str) -> str | None:
    """Return what to do about an error, where it says that there are no credentials."""
    return f"no credentials were found: {WANTED[scheme]}" if NOTHING_FOUND.search(line) else None


def _google() -> dict[str, Any]:
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    return {"base_url": host if "://" in host else f"http://{host}", "skip_signature": True} if host else {}


def _azure() -> dict[str, Any]:
    given = {name: os.environ[variable] for variable, name in AZURE_VARIABLES.items() if variable in os.environ}
    parts = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";")
    said = dict(part.split("=", 1) for part in parts if "=" in part)
    return given | {AZURE_CONNECTION[key]: value for key, value in said.items() if key in AZURE_CONNECTION}


def _minio(server: str) -> dict[str, Any]:
    """Return what leads to a server of MinIO: with a port of its own in plain text, unless MINIO_SECURE says otherwise."""
    port = server.rpartition(":")[2] if ":" in server else "443"
    secure = os.environ.get("MINIO_SECURE", str(port == "443")).lower() in {"true", "1", "yes"}
    keys = {name: os.environ[variable] for variable, name in MINIO_VARIABLES.items() if variable in os.environ}
    given = _profile() if not keys else {}
    return {"region": "us-east-1", **given, **keys, "endpoint": f"{'https' if secure else 'http'}://{server}"}


def _aws() -> dict[str, Any]:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return ({"endpoint": endpoint} if endpoint else {}) | _profile()


def _profile() -> dict[str, Any]:
    """Return what the profile of the AWS tools says, where the environment holds no key; boto3 knows all kinds of it."""
    import configparser

    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    folder, name = Path("~/.aws").expanduser(), os.environ.get("AWS_PROFILE", "default")
    files = [
        Path(os.environ.get("AWS_CONFIG_FILE", folder / "config")),
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", folder / "credentials")),
    ]
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(files)
    except configparser.Error as error:
        raise SourceError(f"the AWS profile cannot be read: {' '.join(str(error).split())}") from None
    found = {
        key: value
        for section in (f"profile {name}", name)
        if section in parser
        for key, value in parser[section].items()
    }
    given: dict[str, Any] = {AWS_PROFILE[key]: value for key, value in found.items() if key in AWS_PROFILE}
    if found and "access_key_id" not in given:
        given |= _from_boto3(name)
    return given


def _from_boto3(name: str) -> dict[str, Any]:
    """Return credentials of a profile with roles, single sign-on or a helper program, where boto3 is installed."""
    try:
        boto3 = import_module("boto3")
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return {}
    return {"credential_provider": Boto3CredentialProvider(boto3.Session(profile_name=name))}
