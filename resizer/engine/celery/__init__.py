"""Process images on other machines: Celery tasks over Redis.

`broker` sets Celery up and names what stands in Redis, `messages` says what travels, `engine` hands tasks
out and takes outcomes in, `losses` finds the tasks that nobody is at any more, `node` is a worker.
"""
