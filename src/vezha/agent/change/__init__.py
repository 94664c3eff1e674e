"""Change on the host: what the server directs, verified, staged, and told of.

Owns: the launcher's word (`launched`), the one lock of the agent's folder, progress until it is
acknowledged (`progress`), what was taken already (`book`), the thread that follows directives
(`desk`), and the child process that verifies, stages and runs scripts (`take`, `script_run`). In
come directives and pieces of files; out go staged pairs for the launcher and progress for the
server. Refuses: whatever the offline keys did not sign, whatever is older than what was taken, and
every script unless the host's own `agent.toml` opted in.

Only the child imports the signature code, so that the resident agent stays small.
"""
