"""The Python SDK of MCP as a client of ours.

mcp_client.py LINE ANSWER CALLS PROGRAM ARGUMENT...
LINE is `legacy` or `2026-07-28`; ANSWER is accept, decline, silent or none (the client cannot ask a person). CALLS is JSON:
a list of [tool, arguments, options]; options are `progress` and `cancel_after` (seconds). Prints a line of JSON for the list
of tools, one for each call, and one for each question and each progress before it.
"""
import asyncio
import json
import sys

from mcp import Client, StdioServerParameters, types

line, answer, calls, program, *arguments = sys.argv[1:]


def show(**value):
    print(json.dumps(value), flush=True)


async def ask(context, params):
    show(question=params.message)
    if answer == "silent":
        await asyncio.sleep(8)
    if answer == "decline":
        return types.ElicitResult(action="decline")
    return types.ElicitResult(action="accept", content={"approve": True})


async def progress(done, total, message):
    show(progress=done, message=message)


async def call(client, tool, parameters, options):
    callback = progress if options.get("progress") else None
    calling = client.call_tool(tool, parameters, progress_callback=callback)
    try:
        result = await asyncio.wait_for(calling, options.get("cancel_after"))
    except asyncio.TimeoutError:
        return show(cancelled=tool)
    except Exception as error:
        return show(error=str(error))
    text = " ".join(part.text for part in result.content if part.type == "text")
    show(tool=tool, is_error=bool(result.is_error), structured=result.structured_content, text=text)


async def main():
    server = StdioServerParameters(command=program, args=arguments)
    callback = None if answer == "none" else ask
    async with Client(server, mode=line, elicitation_callback=callback) as client:
        tools = (await client.list_tools()).tools
        show(
            protocol=client.protocol_version,
            server=client.server_info.name if client.server_info else None,
            tools={tool.name: tool.model_dump(mode="json", exclude_none=True) for tool in tools},
        )
        for tool, parameters, options in json.loads(calls):
            # The id of the deploy before, for a status.
            for name, value in parameters.items():
                if value == "LAST":
                    parameters[name] = main.last
            if options.get("pause"):
                await asyncio.sleep(options["pause"])
            await call(client, tool, parameters, options)


show_plain = show


def show(**value):
    structured = value.get("structured") or {}
    if "id" in structured:
        main.last = structured["id"]
    show_plain(**value)


asyncio.run(main())
