/* The story of a connect for a person: both ends' reports in about ten lines. */
#ifndef CLI_STORY_H
#define CLI_STORY_H

#include <warpgate/warpgate.h>

/* Writes what the NATs are, what won, what failed and why at either end, what never had to begin,
 * and of a relayed connect why it is not direct. */
void cli_story(const warp_report *report);
/* Why a relayed connect is not direct: the attempt that came nearest to it, with its plugin and
 * reason. NULL when the report is not of a relayed one, or nothing else was tried. */
const warp_report_row *cli_story_not_direct(const warp_report *report);
/* What the peer says of an attempt of ours; NULL when it says nothing. */
const warp_report_row *cli_story_peer_row(const warp_report *report, const warp_report_row *row);

#endif
