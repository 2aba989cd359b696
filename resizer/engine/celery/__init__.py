"""Process images on other machines: Celery tasks over Redis.

`broker` configures Celery and names the keys in Redis, `messages` defines the messages, `engine` is the
server's side, with `sending` and `losses`; `node` is a worker, with its tasks in `work`.
"""
