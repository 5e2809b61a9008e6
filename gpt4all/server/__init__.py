"""OpenAI's interface over HTTP, for the models of this machine; the extra ``gpt4all[server]`` brings what it needs.

A request goes through ``guard`` (who may ask), ``http`` (its body, its end, errors), and one of the endpoints, which
read it with ``fields`` and ``sampling``, lease a model from ``pool``, and generate with ``generating``.
"""
