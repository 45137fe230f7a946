"""Helpers of the tests of rate limits."""

from ipaddress import ip_network

from service.domain.setting_values import TrustedProxies
from support.harness import Response


def is_limit(answer: Response, policy: str, quota: int, seconds: int) -> bool:
    headers = answer.headers
    assert headers["Retry-After"] == str(seconds)
    assert headers["RateLimit-Policy"] == f'"{policy}";q={quota};w=60'
    assert headers["RateLimit"] == f'"{policy}";r=0;t={seconds}'
    return answer.status == 429


LOCAL = TrustedProxies((ip_network("127.0.0.1"),))
