"""Tool calls on the functions of the Berkeley Function-Calling Leaderboard (BFCL v4), one question a module.

    official    which functions, documents and checkers does bfcl-eval bring?
    parse       which calls may be executed?
    sandbox     what is their result? In a process that may be killed: worker
    scoring     how many of them are correct, of one turn or of several?
    dialogues   how does a task of several turns go on? With a policy in training: rollout, watch
    vocabulary  how does a user ask for a call?
    synthetic   tasks that code makes
    entries     the entries of BFCL as tasks
    official_cli  what does BFCL's own command line say of a checkpoint?

Verdicts are those of the official functions. Around them stands what training needs: nothing raises or hangs on any
text, every episode has instances of its own, and no text of a model reaches eval or exec. A call is either
{name: {argument: value}}, as common/calls.py returns it, or Python text such as "mv(source='a', destination='b')", as
the ground truths of the multi-turn categories are written. Turns are lists of calls.
"""
