"""Runs Schemathesis with openapi.yaml against a server and prints its report.

    run_schemathesis.py BASE_URL TOKEN

The settings, and why some checks are off, are in schemathesis.toml. The seed is fixed, so that a run can be repeated.
Ends with 'N passed, M failed' (operations) and exits with 1 if anything was found.
"""

import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: run_schemathesis.py BASE_URL TOKEN", file=sys.stderr)
        return 2
    base_url, token = sys.argv[1:]
    command = [
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", HERE / "schemathesis.toml"),
        *("run", HERE.parents[1] / "openapi.yaml"),
        *("--url", base_url.removesuffix("/scim/v2")),
        *("--header", f"Authorization: Bearer {token}"),
    ]
    # It keeps notes where it stands; every run begins without any.
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr, sep="\n")
    # A run that has lost its token has tested nothing.
    request = urllib.request.Request(f"{base_url}/ServiceProviderConfig", headers={"Authorization": f"Bearer {token}"})
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
    tested = re.search(r"Tested: (\d+)", run.stdout)
    found = len(set(re.findall(r"^_+ ([A-Z]+ /\S*) _+$", run.stdout, re.MULTILINE)))
    count = int(tested.group(1)) if tested else 0
    print(f"{count - found} passed, {found} failed")
    return 0 if run.returncode == 0 and count > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
