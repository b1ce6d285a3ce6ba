"""Tool calls on the functions of the Berkeley Function-Calling Leaderboard (BFCL v4), one question a module.

    official    which functions, classes, descriptions and entries does bfcl-eval bring?
    sandbox     which calls may be executed, and what is their result? In a process that may be killed: worker
    scoring     how many of them are correct, of one turn or of several?
    dialogues   how does a task of several turns go on? With a policy in training: rollout, watch
    vocabulary  how does a user ask for a call? In the words of requests.json
    synthetic   which tasks does code make of these requests?
    official_cli  what does BFCL's own command line say of a checkpoint?

Verdicts are those of the official functions. Around them stands what training needs: nothing raises or hangs on any
text, every episode has instances of its own, and no text of a model reaches eval or exec. A call is either
{name: {argument: value}}, as common/calls.py returns it, or Python text such as "mv(source='a', destination='b')", as
the ground truths of the multi-turn categories are written. Turns are lists of calls.
"""
