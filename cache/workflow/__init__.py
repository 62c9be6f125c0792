"""The parts of an agent's workflow with a cache under them; each is usable by itself.

context_builder_node   a task's messages            tool_executor   tools behind a sandbox
embeddings, endpoint   vectors of texts             prompts         filled templates
warming                vectors before they are asked for
runner, demo           all of them together over a folder of files
"""
