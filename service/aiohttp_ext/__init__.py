"""Extensions of aiohttp. Imports nothing of ours."""
