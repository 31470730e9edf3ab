#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# An ordinary Linux program: it makes an I/O address space, maps two pages of its memory there, lets them be mapped again
# (which is refused), and asks what is free. It knows nothing of this project; under `iommufd run` it finds /dev/iommu.
use strict;
use warnings;

use constant {
    IOAS_ALLOC       => 0x3b81,
    IOAS_IOVA_RANGES => 0x3b84,
    IOAS_MAP         => 0x3b85,
    IOAS_UNMAP       => 0x3b86,
    MAP_FLAGS        => 7,        # at this IOVA, readable and writable
    PAGE             => 4096,
};

sub address { return unpack 'Q', pack 'P', $_[0] }

open my $iommu, '+<', '/dev/iommu' or die "/dev/iommu: $!\n";

my $alloc = pack 'L3', 12, 0, 0;
ioctl $iommu, IOAS_ALLOC, $alloc or die "IOAS_ALLOC: $!\n";
my $ioas = (unpack 'L3', $alloc)[2];

my $memory  = 'x' x (4 * PAGE);
my $user_va = (address($memory) + PAGE - 1) & ~(PAGE - 1);
my $map     = pack 'L4 Q3', 40, MAP_FLAGS, $ioas, 0, $user_va, 2 * PAGE, 0x100000;
ioctl $iommu, IOAS_MAP, $map or die "IOAS_MAP: $!\n";
print "two pages are mapped at 0x100000\n";

my $again = pack 'L4 Q3', 40, MAP_FLAGS, $ioas, 0, $user_va, PAGE, 0x101000;
ioctl $iommu, IOAS_MAP, $again and die "mapped twice\n";
print "a page of them again: $!\n";

my $range  = "\0" x 16;
my $ranges = pack 'L4 Q2', 32, $ioas, 1, 0, address($range), 0;
ioctl $iommu, IOAS_IOVA_RANGES, $ranges or die "IOVA_RANGES: $!\n";
printf "IOVAs from 0x%x to 0x%x can be used\n", unpack 'Q2', $range;

my $unmap = pack 'L2 Q2', 24, $ioas, 0x100000, 2 * PAGE;
ioctl $iommu, IOAS_UNMAP, $unmap or die "IOAS_UNMAP: $!\n";
