# Cost of a window against W, dim, classes and accounts, from growth.tsv in the working directory:
# -e "form='svg'; shape='dim 128, ...'; classes_window=64".
if (form eq 'svg') {
    set terminal svg size 1080,800 font 'sans,13' background 'white'
} else {
    set terminal pngcairo size 1080,800 font 'sans,11'
}
set output 'growth.'.form
file = 'growth.tsv'
set datafile missing '-'
stats file using 2 nooutput
low = 10 ** floor(log10(STATS_min))
stats file using 3 nooutput
high = 10 ** ceil(log10(STATS_max))
array least[4]
array most[4]
do for [i=1:4] {
    stats file index i-1 using 1 nooutput
    least[i] = STATS_min / 1.4
    most[i] = STATS_max * 1.4
}
array name[4] = ['rows in a window, W', 'dim', \
    sprintf('classes (W %d)', classes_window), 'accounts that the windows are of']
set multiplot layout 2,2 title 'Microseconds a window, as one thing grows; else '.shape \
    margins 0.07,0.98,0.07,0.88 spacing 0.08,0.12
set logscale xy
set yrange [low:high]
set format y '10^{%T}'
set border 3
set tics nomirror
set grid xtics ytics back linetype 1 linecolor rgb '#dddddd'
set key center at screen 0.5,0.93 samplen 3
do for [i=1:4] {
    set xlabel name[i]
    set xrange [least[i]:most[i]]
    plot file index i-1 using 1:4:xtic(1) with linespoints pt 9 lw 2 lc rgb '#999999' \
             title 'scipy sqrtm, float64', \
         '' index i-1 using 1:3 with linespoints pt 7 lw 2 lc rgb '#d95f02' \
             title "the paper's way, torch.linalg.eig", \
         '' index i-1 using 1:2 with linespoints pt 5 lw 2 lc rgb '#1b6ca8' title 'Adder'
    set key off
}
unset multiplot
