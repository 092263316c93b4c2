"""Runs every check of scim2-tester against a running server and prints each with its outcome.

    run_scim2_tester.py BASE_URL TOKEN

The register must be new: scim2-tester looks for what it made on the first page. Passed is what scim2-tester calls a
success, compliant or acceptable; everything else has failed, a skipped check too. Ends with 'N passed, M failed' and
exits with 1 if any failed, or if nothing was checked.
"""

import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

PASSED = {Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE}


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: run_scim2_tester.py BASE_URL TOKEN", file=sys.stderr)
        return 2
    base_url, token = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    with Client(base_url=base_url, headers=headers, timeout=60, trust_env=False) as http:
        results = check_server(SyncSCIMClient(http))
    failed = 0
    for result in results:
        passed = result.status in PASSED
        failed += not passed
        kind = f" {result.resource_type}" if result.resource_type else ""
        print(f"{result.status.name:10} {result.title}{kind}: {result.reason or 'as expected'}")
        if not passed and result.data is not None:
            print(f"           {result.data}")
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
